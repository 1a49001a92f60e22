"""The command line: run a program in a scope, and look at and clean the scopes there are.

    main ==> run/ run_program ==> foreground ==> terminal   a command, its signals, its orphans
        `==> list_show, watch ==> tables, json_output       what there is
        `==> reap             ==> tables, json_output       clean up, or say what it would do
             timeline/ picture ==> history                  the picture, of a scope or a run

All output goes through `output`.  Rich, matplotlib and argcomplete are loaded only
when they are used; without them output is plain text, and says which is missing.

Tested by: tests/cli/test_list_show.py
"""
