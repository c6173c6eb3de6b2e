"""What all users of a language model need to know about it, wherever it runs."""
