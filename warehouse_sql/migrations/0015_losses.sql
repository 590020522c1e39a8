-- Where nothing was written in between, a second loss stands at the place of the first.
alter table etl.loss drop constraint loss_pkey;
alter table etl.loss add primary key (topic_id, partition, first_offset, kind, recorded_at);
