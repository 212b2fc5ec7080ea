"""One limit over many processes, through Redis or Valkey."""
