#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tailrace::lake {

/// A place for whole objects under paths ("public/items/x.parquet"), relative to where the lake begins. One thread;
/// each writer has one of its own. Whatever may pass is a RetryError, what will not a RefusedError.
class Store {
 public:
  virtual ~Store() = default;

  /// Paths that begin with `prefix`, ascending. What is staged is not among them.
  virtual std::vector<std::string> list(const std::string& prefix) = 0;
  /// REQUIRES: list() named it.
  virtual std::string read(const std::string& path) = 0;
  /// Durable on return. False, with nothing done: there is something of that name.
  virtual bool create(const std::string& path, std::string_view bytes) = 0;
  /// Durable on return; what was there is replaced at once.
  virtual void write(const std::string& path, std::string_view bytes) = 0;
  /// Gone on return, also when it was not there.
  virtual void remove(const std::string& path) = 0;

  /// Makes the bytes durable where nobody sees them, to be published under `path`. Gives what publish() needs for it.
  virtual std::string stage(const std::string& path, std::string_view bytes) = 0;
  /// What was staged is seen from here on, durably. May be repeated. False: it is neither staged nor published.
  virtual bool publish(const std::string& path, const std::string& token) = 0;
  /// What was staged goes, unseen. Gone on return, also when it was not there.
  virtual void drop(const std::string& path, const std::string& token) = 0;
  /// All that is staged goes. REQUIRES: nobody stages anything.
  virtual void drop_staged() = 0;
};

}  // namespace tailrace::lake
