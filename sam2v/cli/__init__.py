"""The command line, `sam2v`: one module per subcommand, imported only when it is used."""
