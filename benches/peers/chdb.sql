-- threads
SELECT thread, sum(value) AS value FROM samples GROUP BY 1 ORDER BY 1;

-- self
SELECT name, sum(value) AS self
FROM (SELECT stack[1] AS id, value FROM samples) AS leaves JOIN functions USING (id)
GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 20;

-- total
WITH selves AS (SELECT stack[1] AS id, sum(value) AS self FROM samples GROUP BY 1),
totals AS (
  SELECT id, sum(value) AS total
  FROM samples ARRAY JOIN arrayDistinct(stack) AS id
  GROUP BY 1)
SELECT name, self, total
FROM totals JOIN functions USING (id) LEFT JOIN selves USING (id)
ORDER BY 3 DESC, 1 LIMIT 20;

-- function
SELECT thread, sum(value) AS value FROM samples
WHERE has(stack, {id})
GROUP BY 1 ORDER BY 1;

-- stacks
SELECT count() AS stacks, sum(value) AS value
FROM (SELECT stack, sum(value) AS value FROM samples GROUP BY 1);

-- top_stacks
SELECT stack, sum(value) AS value FROM samples GROUP BY 1 ORDER BY 2 DESC LIMIT 10;

-- flame
-- Takes the root first. With two threads it loses samples (chdb-core 26.9), so it gets one. The ids are moved to where
-- the process has no code, or it looks for symbols.
SELECT NULL AS nodes, count() AS stacks, sum(toInt64(splitByChar(' ', line)[-1])) AS value
FROM (
  SELECT arrayJoin(flameGraph(arrayMap(id -> toUInt64(id) + 0x1000000000000000, arrayReverse(stack)), value)) AS line
  FROM samples)
SETTINGS allow_introspection_functions = 1, max_threads = 1;
