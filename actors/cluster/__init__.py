"""Many instances, one writer: who has which shard, how shards move, and how messages get there."""
