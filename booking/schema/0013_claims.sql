-- Nobody becomes the owner of a shard with a loss that is not accepted: not an instance of a release
-- before losses either, whose claim does not ask for them. Only adds.
-- compatible_from: 7

CREATE FUNCTION refuse_lost_shard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM losses AS x WHERE x.shard = NEW.shard AND x.accepted_at IS NULL) THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION refuse_lost_shard IS
    'Leaves a shard out of a claim while it has an open loss, as if somebody else had been faster.';

CREATE TRIGGER no_claim_of_a_lost_shard BEFORE UPDATE OF owner, incarnation ON shards
    FOR EACH ROW WHEN (NEW.owner <> '')
    EXECUTE FUNCTION refuse_lost_shard();
