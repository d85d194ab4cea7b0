-- Records of one day's changes, in order of commit (`ranked`): each delivered once, on time.
SELECT no, kind, commit_us, rowid AS rank, commit_us AS delivered_us, kafka_partition(no) AS part
FROM ranked
