"""Prediction of millions of photos and videos on many machines with Ray Data (extra ``cluster``), each input exactly once.

In reading order: `sources` divides the inputs into blocks, `job` is the folder with the plan and the finished blocks, `engine` distributes
the blocks to Ray's actors, `items` reads a block's photos, `worker` finds the people, `rows` are the shards of results, `tracks` gives
track ids to a video's chunks, `report` counts and merges.
"""
