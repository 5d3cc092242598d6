complete --keep-order --exclusive --command breakoff --arguments "(BREAKOFF_COMPLETE=fish breakoff -- (commandline --current-process --tokenize --cut-at-cursor) (commandline --current-token))"
