"""Where scripts of MindSpore Federated 0.1 and 0.2 look for the command-line tool of the REST interface."""
