-- A million watches are read in pages, by version and, among those of one version, by id.
drop index watch_changed;
create index watch_changed on watch (chain, version, id);
