"""The command line: run a program in a scope, and look at and clean the scopes there are.

    main ==> run        ==> foreground ==> terminal        a command, its signals, its orphans
        `==> looking    ==> tables                         list, show, watch
        `==> reaping    ==> tables                         reap, with what it would do
        `==> timeline ==> history                          the picture, of a scope or a run

All that is printed goes through `output`.  Rich, matplotlib and argcomplete are
loaded only where they are used; without them all is plain text, and says what is
missing.
"""
