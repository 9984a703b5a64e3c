"""Prediction of millions of photos and videos on many machines, on Ray Data (extra ``cluster``); each input is done exactly once.

In reading order: `sources` turns what was asked for into blocks, `job` is the folder with the plan and the finished blocks, `engine` deals
the blocks out to Ray's actors, `items` reads a block's photos, `worker` finds the people, `rows` are the shards of results, `tracks` joins
the ids of a video's chunks, `report` counts and merges.
"""
