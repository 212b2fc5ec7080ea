"""What is printed: values, tables, plots, messages and progress."""
