"""What ``python -m okx_sol_async`` starts: the same as ``okx-sol``."""

from okx_sol_async_command import main

if __name__ == "__main__":
    main()
