"""What is checked of the compiled graph before it is shipped."""
