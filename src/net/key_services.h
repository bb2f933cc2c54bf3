#pragma once

#include <string>
#include <string_view>

#include "net/s3_keys.h"
#include "net/server_address.h"

/// Services that lend keys for S3, as AWS' own programs ask them. All functions throw RetryError TR910 for what may
/// pass and RefusedError TR911 for what will not; no text of theirs shows a token or a key. Any thread.
namespace tailrace::net {

/// Gives keys to who proves who he is by a token in a file, which somebody renews ("AssumeRoleWithWebIdentity" of the
/// AWS Security Token Service API reference).
struct WebIdentity {
  /// "https://sts.eu-west-1.amazonaws.com"
  std::string endpoint;
  std::string token_file;
  std::string role;
  std::string session;
  ConnectionTerms terms;
};
LentKeys keys_of_web_identity(const WebIdentity& of);

/// A service beside a container ("Container credential provider" of the AWS SDKs and Tools reference guide).
struct ContainerService {
  std::string url;
  /// What is sent as Authorization; the file's first, read anew each time, where there is one. May be empty.
  std::string authorization;
  std::string authorization_file;
};
LentKeys keys_of_container(const ContainerService& of);
/// Whether an answer of this place can be trusted: it comes by TLS, or from this host or one of AWS' own addresses.
bool is_safe_container_url(std::string_view url);

/// The metadata service of a virtual machine, version 2 ("Retrieve security credentials from instance metadata" of the
/// Amazon EC2 user guide).
struct InstanceService {
  std::string endpoint = "http://169.254.169.254";
};
LentKeys keys_of_instance(const InstanceService& of);

/// What container and instance services answer with, a JSON object. `from`: who, for the error.
LentKeys read_lent_keys(std::string_view json, const std::string& from);

}  // namespace tailrace::net
