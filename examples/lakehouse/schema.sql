CREATE SCHEMA commerce;
CREATE TABLE commerce.products (id integer PRIMARY KEY, name text NOT NULL, description text, price real NOT NULL);
CREATE TABLE commerce.users (id integer PRIMARY KEY, username text NOT NULL, password text NOT NULL);
INSERT INTO commerce.products SELECT g, 'product ' || g, CASE WHEN g % 5 > 0 THEN 'as good as new' END, g + 0.99 FROM generate_series(1, 40) g;
INSERT INTO commerce.users SELECT g, 'user' || g, 'not a real one ' || g FROM generate_series(1, 20) g;
