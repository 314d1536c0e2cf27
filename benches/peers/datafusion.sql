-- threads
SELECT thread, sum(value) AS value FROM samples GROUP BY 1 ORDER BY 1;

-- self
SELECT name, sum(value) AS self
FROM samples JOIN functions ON stack[1] = id
GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 20;

-- total
WITH selves AS (SELECT stack[1] AS id, sum(value) AS self FROM samples GROUP BY 1),
frames AS (SELECT unnest(array_distinct(stack)) AS id, value FROM samples),
totals AS (SELECT id, sum(value) AS total FROM frames GROUP BY 1)
SELECT name, coalesce(self, 0) AS self, total
FROM totals JOIN functions ON totals.id = functions.id LEFT JOIN selves ON totals.id = selves.id
ORDER BY 3 DESC, 1 LIMIT 20;

-- function
SELECT thread, sum(value) AS value FROM samples
WHERE array_has(stack, CAST({id} AS INT))
GROUP BY 1 ORDER BY 1;

-- stacks
SELECT count(*) AS stacks, sum(value) AS value
FROM (SELECT stack, sum(value) AS value FROM samples GROUP BY 1);

-- top_stacks
SELECT stack, sum(value) AS value FROM samples GROUP BY 1 ORDER BY 2 DESC LIMIT 10;

-- flame
WITH stacks AS (SELECT stack, CAST(array_length(stack) AS BIGINT) AS depth, sum(value) AS value FROM samples GROUP BY 1),
frames AS (SELECT stack, depth, value, unnest(range(1, depth + 1)) AS n FROM stacks),
nodes AS (
  SELECT array_slice(stack, n, depth) AS path, sum(value) AS total,
    sum(CASE WHEN n = 1 THEN value ELSE 0 END) AS self
  FROM frames GROUP BY 1)
SELECT count(*) AS nodes, count(*) FILTER (WHERE self <> 0) AS stacks, sum(self) AS value FROM nodes;
