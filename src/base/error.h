#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace tailrace {

/// What the process ends with; scripts rely on the numbers.
enum class ExitCode : int {
  kDone = 0,
  kAnswerIsNo = 1,
  kBadRequest = 2,
  kUnreachable = 3,
  kTimeout = 4,
  kDamaged = 5,
  kDefect = 70,
};

/// Root of all that we throw. The subclasses are named by the reaction they ask for, not by where they arose.
/// Thrown anywhere; caught at three boundaries only: source loop, sink runner, request handler (a command).
/// Texts hold neither row values nor secrets.
class Error : public std::runtime_error {
 public:
  /// `code` is "TR" and three digits, explained by `tailrace docs CODE`; `remedy` says what the user does next.
  Error(std::string code, const std::string& what, std::string remedy)
      : std::runtime_error(what), code_(std::move(code)), remedy_(std::move(remedy)) {}

  const std::string& code() const { return code_; }
  const std::string& remedy() const { return remedy_; }
  virtual ExitCode exit_code() const = 0;

 private:
  std::string code_;
  std::string remedy_;
};

/// Try the same thing again later: the other side is busy, away or out of room for now.
class RetryError : public Error {
 public:
  using Error::Error;
  ExitCode exit_code() const override { return ExitCode::kUnreachable; }
};

/// The connection to the source is gone or no longer usable: make a new one and go on from the log's end.
class ReconnectError : public Error {
 public:
  using Error::Error;
  ExitCode exit_code() const override { return ExitCode::kUnreachable; }
};

/// The source or a target refuses, and will refuse again until somebody changes something there.
class RefusedError : public Error {
 public:
  using Error::Error;
  ExitCode exit_code() const override { return ExitCode::kUnreachable; }
};

/// One datum cannot be taken; everything else can.
class BadDataError : public Error {
 public:
  using Error::Error;
  ExitCode exit_code() const override { return ExitCode::kDefect; }
};

/// The request or the configuration is wrong.
class BadConfigError : public Error {
 public:
  using Error::Error;
  ExitCode exit_code() const override { return ExitCode::kBadRequest; }
};

/// The answer to a question is no (a check failed, tables differ).
class AnswerIsNo : public Error {
 public:
  using Error::Error;
  ExitCode exit_code() const override { return ExitCode::kAnswerIsNo; }
};

/// A bound that the user set has run out.
class TimeoutError : public Error {
 public:
  using Error::Error;
  ExitCode exit_code() const override { return ExitCode::kTimeout; }
};

/// State on disk is damaged: nothing is guessed, the place is named.
class CorruptionError : public Error {
 public:
  using Error::Error;
  ExitCode exit_code() const override { return ExitCode::kDamaged; }
};

/// Our own mistake: an invariant does not hold.
class DefectError : public Error {
 public:
  explicit DefectError(const std::string& what)
      : Error("TR900", what, "this is a defect of Tailrace: please report it with the log") {}
  ExitCode exit_code() const override { return ExitCode::kDefect; }
};

}  // namespace tailrace
