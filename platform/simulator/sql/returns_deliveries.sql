-- Records of one day's refunds or disputes: changes in order of commit (`ranked`), some delivered twice, some overtaken.
WITH delivered AS (
  SELECT no, created_us, captured_us, opened_us, closed_us, kind, commit_us, rowid AS rank,
    -- The row's creation is delivered after its last change, if both are of the same day.
    CASE
      WHEN kind = 0 AND is_overtaken(no)
        AND (closed_us + commit_us - opened_us) // 86400000000 = commit_us // 86400000000
        THEN closed_us + commit_us - opened_us + 1000000
      ELSE commit_us
    END AS delivered_us
  FROM ranked
)

SELECT no, created_us, captured_us, opened_us, closed_us, kind, commit_us, rank, delivered_us, kafka_partition(no) AS part
FROM delivered
UNION ALL
SELECT no, created_us, captured_us, opened_us, closed_us, kind, commit_us, rank,
  delivered_us + duplicated_after_us(4 * no + kind), kafka_partition(no)
FROM delivered
WHERE kind < 3 AND is_duplicated(4 * no + kind)
