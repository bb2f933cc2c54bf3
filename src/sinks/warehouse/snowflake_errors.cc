#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "base/error.h"
#include "sinks/row_target.h"
#include "sinks/warehouse/snowflake_dialect.h"

// What an error of Snowflake, or of its driver, means for us.
namespace tailrace::warehouse {
namespace {

enum class Reaction { kLater, kNotLetIn, kRights, kNoWarehouse, kGone, kRows };

struct Meaning {
  int code;
  Reaction reaction;
  /// What is wrong, behind the account's name.
  const char* what;
  const char* remedy;
};

constexpr const char* kAgain = "none: it is tried again";
constexpr const char* kRowRemedy = "correct it at the source";
constexpr const char* kNetworkPolicy = "a network policy of the account keeps this machine out";
constexpr const char* kAllow =
    "let an administrator allow this machine's address (CREATE NETWORK RULE, ALTER NETWORK POLICY)";

/// Numbers as the server and its drivers use them; by number.
constexpr std::array kMeanings = {
    Meaning{603, Reaction::kLater, "had an error inside itself", kAgain},
    Meaning{604, Reaction::kLater, "cancelled a statement", "look who cancels statements; it is tried again"},
    Meaning{606, Reaction::kNoWarehouse, "has no warehouse for us",
            "name one by `warehouse`, and let an administrator run: GRANT USAGE ON WAREHOUSE … TO ROLE …"},
    Meaning{607, Reaction::kNoWarehouse, "has a warehouse for us that is suspended and does not resume",
            "run ALTER WAREHOUSE … RESUME, or set AUTO_RESUME = TRUE on it"},
    Meaning{625, Reaction::kLater, "has another transaction on the table", kAgain},
    Meaning{630, Reaction::kLater, "ended a statement that took too long",
            "raise STATEMENT_TIMEOUT_IN_SECONDS, or make batches smaller; it is tried again"},
    Meaning{1757, Reaction::kRights, "does not let our role use the database",
            "let an administrator run: GRANT USAGE ON DATABASE … TO ROLE …"},
    Meaning{2003, Reaction::kGone, "has not what a statement names, or does not show it to our role",
            "bring it back as it was, copy the table again (tailrace snapshot), or grant the role what it lacks"},
    Meaning{2043, Reaction::kGone, "has not what a statement names, or does not show it to our role",
            "bring it back as it was, copy the table again (tailrace snapshot), or grant the role what it lacks"},
    Meaning{3001, Reaction::kRights, "does not give our role the rights for it",
            "let an administrator grant the role what docs/snowflake.md lists (`tailrace docs snowflake`)"},
    Meaning{90073, Reaction::kNoWarehouse, "does not resume the warehouse: its quota is used up",
            "raise the resource monitor's quota, or wait for its next period"},
    Meaning{90105, Reaction::kRights, "does not let our role use the database",
            "let an administrator run: GRANT USAGE ON DATABASE … TO ROLE …"},
    Meaning{90106, Reaction::kRights, "does not let our role use the schema",
            "let an administrator run: GRANT USAGE ON SCHEMA … TO ROLE …"},
    Meaning{90109, Reaction::kNoWarehouse, "has a warehouse for us that is suspended and does not resume",
            "run ALTER WAREHOUSE … RESUME, or set AUTO_RESUME = TRUE on it"},
    Meaning{100035, Reaction::kRows, "a date or a time", kRowRemedy},
    Meaning{100038, Reaction::kRows, "a number", kRowRemedy},
    Meaning{100040, Reaction::kRows, "a date", kRowRemedy},
    Meaning{100046, Reaction::kRows, "a number that is out of range", kRowRemedy},
    Meaning{100078, Reaction::kRows, "a text that is too long", kRowRemedy},
    Meaning{100082, Reaction::kRows, "a value that is too long", kRowRemedy},
    Meaning{100132, Reaction::kRows, "a number that is out of range", kRowRemedy},
    Meaning{390100, Reaction::kNotLetIn, "does not know the user with this password",
            "check `account`, `user` and `password`"},
    Meaning{390101, Reaction::kNotLetIn, "has disabled the user",
            "let an administrator run: ALTER USER … SET DISABLED = FALSE"},
    Meaning{390102, Reaction::kNotLetIn, "has locked the user for some minutes, after wrong passwords",
            "correct the password, then wait or let an administrator run: ALTER USER … SET MINS_TO_UNLOCK = 0"},
    Meaning{390104, Reaction::kLater, "ended our session", kAgain},
    Meaning{390111, Reaction::kLater, "ended our session", kAgain},
    Meaning{390112, Reaction::kLater, "ended our session", kAgain},
    Meaning{390114, Reaction::kLater, "ended our session", kAgain},
    Meaning{390144, Reaction::kNotLetIn, "does not take the key",
            "compare the key's fingerprint with RSA_PUBLIC_KEY_FP of DESCRIBE USER, and the clocks of both machines"},
    Meaning{390186, Reaction::kNotLetIn, "has not granted the role to the user",
            "correct `role`, or let an administrator run: GRANT ROLE … TO USER …"},
    Meaning{390189, Reaction::kNotLetIn, "has no such role, or has not granted it to the user",
            "correct `role`, or let an administrator run: GRANT ROLE … TO USER …"},
    Meaning{390201, Reaction::kNoWarehouse, "has no such warehouse, or does not show it to our role",
            "correct `warehouse`, or let an administrator run: GRANT USAGE ON WAREHOUSE … TO ROLE …"},
    Meaning{390420, Reaction::kNotLetIn, kNetworkPolicy, kAllow},
    Meaning{390422, Reaction::kNotLetIn, kNetworkPolicy, kAllow},
    Meaning{390432, Reaction::kNotLetIn, kNetworkPolicy, kAllow},
    Meaning{394508, Reaction::kNotLetIn, "asks this user for a second factor",
            "use a key (`private_key`) of a user of TYPE = SERVICE"},
};
static_assert(std::ranges::is_sorted(kMeanings, {}, &Meaning::code));

constexpr std::size_t kShownText = 400;

const Meaning* meaning_of(const AdbcFailure& failure) {
  // Its number depends on where the policy stands.
  if (failure.text.find("is not allowed to access Snowflake") != std::string::npos)
    return std::ranges::find(kMeanings, 390422, &Meaning::code);
  const auto found = std::ranges::find(kMeanings, failure.vendor_code, &Meaning::code);
  return found == kMeanings.end() ? nullptr : &*found;
}

std::string which(const AdbcFailure& failure) {
  return failure.sqlstate.empty() ? fmt::format("{:06}", failure.vendor_code)
                                  : fmt::format("{:06}, SQLSTATE {}", failure.vendor_code, failure.sqlstate);
}

/// What answered was not the account that was meant: HTTP's own refusals.
bool is_no_account(const AdbcFailure& failure) {
  return failure.text.find("HTTP: 403") != std::string::npos || failure.text.find("HTTP: 404") != std::string::npos ||
         failure.text.find("HTTP Status: 403") != std::string::npos ||
         failure.text.find("HTTP Status: 404") != std::string::npos ||
         failure.text.find("no such host") != std::string::npos;
}

[[noreturn]] void fail_without_number(const AdbcFailure& failure, About about, const std::string& display) {
  if (about == About::kConnecting && is_no_account(failure))
    throw RefusedError("TR883", fmt::format("{}: there is no such account", display),
                       "write `account` as ORGANISATION-ACCOUNT (SELECT CURRENT_ORGANIZATION_NAME() || '-' || "
                       "CURRENT_ACCOUNT_NAME()), and see that this machine reaches snowflakecomputing.com");
  if (failure.text.find("x509:") != std::string::npos || failure.text.find("tls:") != std::string::npos)
    throw RefusedError("TR883", fmt::format("no trust between us and {}", display),
                       "see what stands between this machine and the account, and the system's authorities");
  if (failure.text.find("private key") != std::string::npos || failure.text.find("pkcs8") != std::string::npos ||
      failure.text.find("PEM") != std::string::npos)
    throw RefusedError("TR882", fmt::format("{}: the private key cannot be read", display),
                       "give a PKCS #8 key in PEM form, and its passphrase if it has one");
  // Texts of the driver hold addresses and statements, but what failed may be about rows.
  const bool silent = about == About::kRows;
  throw RetryError("TR881",
                   fmt::format("no answer from {}{}", display, silent ? "" : ": " + failure.text.substr(0, kShownText)),
                   "is it reachable from here? It is tried again");
}

}  // namespace

bool SnowflakeDialect::is_missing(const AdbcFailure& failure) const {
  return failure.vendor_code == 2003 || failure.vendor_code == 2043;
}

bool SnowflakeDialect::has_column(const AdbcFailure& failure) const { return failure.vendor_code == 1430; }

void SnowflakeDialect::fail(const AdbcFailure& failure, About about) const {
  const std::string us = display();
  const Meaning* meaning = meaning_of(failure);
  // The driver's own numbers begin at 260000; they tell of what lies between us and the account.
  const bool is_drivers = failure.vendor_code == 0 || (failure.vendor_code >= 260000 && failure.vendor_code < 290000);
  if (meaning == nullptr && is_drivers) fail_without_number(failure, about, us);
  if (meaning == nullptr) {
    // A statement is repeated by the server, and with it what is in it.
    const std::string text = about == About::kRows ? "" : ": " + failure.text.substr(0, kShownText);
    throw RefusedError("TR887", fmt::format("{} refuses a statement ({}){}", us, which(failure), text),
                       "look at the account's query history; correct it there, or tell us");
  }
  const std::string what = fmt::format("{} {} ({})", us, meaning->what, which(failure));
  switch (meaning->reaction) {
    case Reaction::kLater: throw RetryError("TR881", what, meaning->remedy);
    case Reaction::kNotLetIn: throw RefusedError("TR882", what, meaning->remedy);
    case Reaction::kRights: throw RefusedError("TR884", what, meaning->remedy);
    case Reaction::kNoWarehouse: throw RefusedError("TR885", what, meaning->remedy);
    case Reaction::kGone: throw RefusedError("TR886", what, meaning->remedy);
    case Reaction::kRows:
      if (about != About::kRows) throw RefusedError("TR887", what, meaning->remedy);
      throw sinks::RowsRefused("TR888", fmt::format("Snowflake refuses {} ({})", meaning->what, which(failure)),
                               meaning->remedy);
  }
  throw DefectError("a meaning without a reaction");
}

}  // namespace tailrace::warehouse
