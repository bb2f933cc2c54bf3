-- What people ask a lakehouse. `history` is the DuckDB file, `lake` the bucket; each query has its title above it.

-- the price of the product that changed most
SELECT id, price, effective_from, effective_to, is_current FROM history.commerce.products__history
WHERE id = (SELECT id FROM history.commerce.products__history GROUP BY id ORDER BY count(*) DESC, id LIMIT 1)
ORDER BY from_seq DESC LIMIT 5;

-- users that are gone, and since when
SELECT id, username, max(effective_to) AS gone_since FROM history.commerce.users__history
GROUP BY id, username HAVING NOT bool_or(is_current) ORDER BY gone_since DESC LIMIT 5;

-- the catalogue as it was at the middle of all changes
SELECT count(*) AS products, round(sum(price), 2) AS worth FROM history.commerce.products__history,
  (SELECT quantile_disc(effective_from, 0.5) AS middle FROM history.commerce.products__history)
WHERE effective_from <= middle AND (effective_to > middle OR effective_to IS NULL);

-- changes in the lake, by day and kind
SELECT date, _op, count(*) AS changes FROM read_parquet('s3://lakehouse/products/**/*.parquet', hive_partitioning = true)
GROUP BY ALL ORDER BY ALL;

-- the same rows, from the lake alone
SELECT count(*) AS products FROM (
  SELECT *, row_number() OVER (PARTITION BY id ORDER BY _seq DESC) AS n
  FROM read_parquet('s3://lakehouse/products/**/*.parquet')) WHERE n = 1 AND _op <> 'd';
