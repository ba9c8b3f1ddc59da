"""What the three command lines share: output, errors, exit codes."""
