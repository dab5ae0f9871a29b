"""The verbs from Python: the same words as the command, typed results, tables as pandas DataFrames."""
