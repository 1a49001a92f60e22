"""The command line: run a program in a scope, and look at and clean the scopes there are.

    main ==> run/ run_program ==> foreground ==> terminal   a command, its signals, its orphans
        `==> list_show, watch ==> tables, json_output       what there is
        `==> reap             ==> tables, json_output       clean up, or say what it would do
             timeline/ picture ==> history                  the picture, of a scope or a run

All that is printed goes through `output`.  Rich, matplotlib and argcomplete are
loaded only where they are used; without them all is plain text, and says what is
missing.

Tested by: tests/cli/test_list_show.py
"""
