"""Asking the vendor's compiler what it takes, and where it computes it.

catalogue: configurations of operators, as data, what the capability tables are made from. random_models: configurations that
are drawn, what the tables are judged on. asking: one configuration through the real compiler, in the form in which rknn_ep
hands it over. survey: many of them, several at once, kept as they come. tables: answers become the capability tables of
`rknn_ep.partitioning`. judging: verdicts of the tables against answers.
"""
