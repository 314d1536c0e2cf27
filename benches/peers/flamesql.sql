-- threads
SELECT thread, sum(value) AS value FROM series WHERE profile_type = {type} GROUP BY 1 ORDER BY 1;

-- self
SELECT function, sum(self) AS self FROM functions WHERE profile_type = {type}
GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 20;

-- total
SELECT function, sum(self) AS self, sum(total) AS total FROM functions WHERE profile_type = {type}
GROUP BY 1 ORDER BY 3 DESC, 1 LIMIT 20;

-- function
SELECT thread, sum(total) AS value FROM functions WHERE profile_type = {type} AND function = {name}
GROUP BY 1 ORDER BY 1;

-- stacks
SELECT count(*) AS stacks, sum(value) AS value
FROM (SELECT stack, sum(value) AS value FROM samples WHERE profile_type = {type} GROUP BY 1);

-- top_stacks
SELECT stack, sum(value) AS value FROM samples WHERE profile_type = {type}
GROUP BY 1 ORDER BY 2 DESC LIMIT 10;

-- flame
WITH graph AS (SELECT flamegraph(stack, value) AS nodes FROM samples WHERE profile_type = {type}),
nodes AS (SELECT unnest(nodes) AS node FROM graph)
SELECT count(*) - 1 AS nodes, sum(CASE WHEN node['self'] <> 0 THEN 1 ELSE 0 END) AS stacks, sum(node['self']) AS value
FROM nodes;
