-- Records of one day's payments: changes in order of commit (`ranked`), some delivered twice, some overtaken.
WITH delivered AS (
  SELECT no, created_us, kind, commit_us, rowid AS rank,
    -- The row's creation is delivered after its capture, if both are of the same day.
    CASE
      WHEN kind = 0 AND is_overtaken(no) AND fate(no) >= 2
        AND captured_us(no, created_us) // 86400000000 = commit_us // 86400000000
        THEN captured_us(no, created_us) + 1000000
      ELSE commit_us
    END AS delivered_us
  FROM ranked
)

SELECT no, created_us, kind, commit_us, rank, delivered_us, kafka_partition(no) AS part FROM delivered
UNION ALL
SELECT no, created_us, kind, commit_us, rank, delivered_us + duplicated_after_us(4 * no + kind), kafka_partition(no)
FROM delivered
WHERE kind < 3 AND is_duplicated(4 * no + kind)
