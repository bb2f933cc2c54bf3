#include "cli/demo_shop.h"

#include <chrono>
#include <random>
#include <utility>

#include "base/error.h"
#include "sources/postgres/connection.h"

namespace tailrace::cli {
namespace {

using postgres::Connection;
using postgres::ConnectionKind;

constexpr int kTransactionsPerSecond = 50;

constexpr const char* kSchema = R"(
CREATE TABLE customers (id bigserial PRIMARY KEY, name text NOT NULL, email text NOT NULL, vip boolean NOT NULL,
                        since timestamptz NOT NULL DEFAULT now());
CREATE TABLE products (id bigserial PRIMARY KEY, name text NOT NULL, price numeric(10,2) NOT NULL,
                       attributes jsonb NOT NULL DEFAULT '{}', updated_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE orders (id bigserial PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customers,
                     status text NOT NULL DEFAULT 'new', note text, created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE order_items (order_id bigint NOT NULL REFERENCES orders ON DELETE CASCADE, line int NOT NULL,
                          product_id bigint NOT NULL REFERENCES products, quantity int NOT NULL,
                          price numeric(10,2) NOT NULL, PRIMARY KEY (order_id, line));
CREATE TABLE payments (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), order_id bigint NOT NULL, amount numeric(10,2),
                       paid_at timestamptz NOT NULL DEFAULT now());
INSERT INTO customers (name, email, vip)
  SELECT 'customer ' || i, 'c' || i || '@example.org', i % 7 = 0 FROM generate_series(1, 50) i;
INSERT INTO products (name, price, attributes)
  SELECT 'product ' || i, (i * 137 % 5000) / 100.0, jsonb_build_object('weight', i * 10, 'tags', array['demo', 'p' || i])
  FROM generate_series(1, 30) i;
)";

constexpr const char* kNewOrder = R"(
WITH o AS (INSERT INTO orders (customer_id, note)
             VALUES (1 + floor(random() * 50), CASE WHEN random() < 0.05 THEN repeat(md5(random()::text), 200) END)
             RETURNING id),
     i AS (INSERT INTO order_items
             SELECT o.id, line, 1 + floor(random() * 30), 1 + floor(random() * 3), round((random() * 50)::numeric, 2)
             FROM o, generate_series(1, 1 + floor(random() * 3)::int) line
             RETURNING quantity * price AS amount)
INSERT INTO payments (order_id, amount) SELECT o.id, (SELECT sum(amount) FROM i) FROM o)";

constexpr const char* kNewStatus = R"(
UPDATE orders SET status = (array['paid', 'packed', 'shipped', 'done'])[1 + floor(random() * 4)]
 WHERE id = (SELECT 1 + floor(random() * max(id)) FROM orders))";

constexpr const char* kNewPrice = R"(
UPDATE products SET price = round((random() * 50)::numeric, 2), updated_at = now()
 WHERE id = 1 + floor(random() * 30))";

constexpr const char* kDeletion = "DELETE FROM orders WHERE id = (SELECT 1 + floor(random() * max(id)) FROM orders)";

std::unique_ptr<Connection> connect(const std::string& conninfo, std::stop_token stop) {
  postgres::SourceSpec spec;
  spec.conninfo = conninfo;
  auto connection = Connection::open(spec, ConnectionKind::kSql, std::move(stop));
  connection->query("SET search_path = public", "setting up the demo's session");
  return connection;
}

const char* statement_for(unsigned draw) {
  if (draw < 70) return kNewOrder;
  if (draw < 88) return kNewStatus;
  if (draw < 97) return kNewPrice;
  return kDeletion;
}

}  // namespace

void make_shop(const std::string& conninfo) { connect(conninfo, {})->query(kSchema, "making the demo's tables"); }

ShopWriter::ShopWriter(std::string conninfo)
    : conninfo_(std::move(conninfo)), thread_([this](std::stop_token stop) { write(std::move(stop)); }) {}

void ShopWriter::stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void ShopWriter::write(std::stop_token stop) {
  try {
    const auto connection = connect(conninfo_, stop);
    std::mt19937 random(1);
    std::uniform_int_distribution<unsigned> percent(0, 99);
    auto due = std::chrono::steady_clock::now();
    while (!stop.stop_requested()) {
      connection->query(statement_for(percent(random)), "writing to the demo's shop");
      ++transactions_;
      due += std::chrono::milliseconds(1000 / kTransactionsPerSecond);
      std::this_thread::sleep_until(due);
    }
  } catch (const Error& error) {
    failure_ = error.what();
    failed_ = true;
  }
}

}  // namespace tailrace::cli
