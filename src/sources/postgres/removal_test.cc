#include "sources/postgres/removal.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace tailrace::postgres {
namespace {

TEST(WithoutSecrets, KeepsEverythingButPasswords) {
  EXPECT_EQ(without_secrets("postgresql://cdc:s3cret@db.example:5433/shop?sslmode=require"),
            "user='cdc' dbname='shop' host='db.example' port='5433' sslmode='require'");
  EXPECT_EQ(without_secrets("host=/tmp/x password='a b' dbname=shop").find("a b"), std::string::npos);
  EXPECT_EQ(without_secrets("host=h dbname='it\\'s'"), "dbname='it\\'s' host='h'");
}

TEST(WithoutSecrets, SaysWhenTheConninfoCannotBeRead) {
  EXPECT_THROW(without_secrets("postgresql://[half"), BadConfigError);
  EXPECT_THROW(without_secrets("host=h nonsense"), BadConfigError);
}

}  // namespace
}  // namespace tailrace::postgres
