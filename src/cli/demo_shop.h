#pragma once

#include <atomic>
#include <cstdint>
#include <stop_token>
#include <string>
#include <thread>

namespace tailrace::cli {

/// Makes the demo's tables (customers, products, orders, order_items, payments) in an empty database and puts 80 rows
/// into them.
void make_shop(const std::string& conninfo);

/// Keeps a small shop busy: about 50 transactions a second, mostly new orders with their items and a payment, some
/// status and price changes, a deleted order now and then. A thread of its own from construction to stop().
class ShopWriter {
 public:
  explicit ShopWriter(std::string conninfo);

  /// Ends the writer; every transaction it counted is committed.
  void stop();
  std::uint64_t transactions() const { return transactions_.load(); }
  /// What ended it early; empty as long as all is well.
  std::string failure() const { return failed_.load() ? failure_ : std::string(); }

 private:
  void write(std::stop_token stop);

  const std::string conninfo_;
  std::atomic<std::uint64_t> transactions_{0};
  std::string failure_;  // written once, before failed_
  std::atomic<bool> failed_{false};
  std::jthread thread_;
};

}  // namespace tailrace::cli
