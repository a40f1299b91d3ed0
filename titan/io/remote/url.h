// io/remote: files on servers (http, https, s3) and the local cache of shards. No torch.
//
// url.h: the few things done to addresses as text.
#pragma once

#include <string>

namespace titan {

/// True for http://, https:// and s3:// (any case of the scheme).
bool is_remote_url(const std::string& text);
bool is_s3_url(const std::string& text);

/// The address as messages show it: without user, password, query and fragment, where secrets lie
/// (a signed address carries its signature in the query).
std::string shown_url(const std::string& url);

/// Last part of the path, without query and fragment: "cc12m-train-0000.tar"; empty where the path
/// ends in '/'.
std::string url_basename(const std::string& url);
/// Everything up to and with the last '/' of the path. A query is dropped.
std::string url_folder(const std::string& url);

/// Bytes outside A-Z a-z 0-9 - . _ ~ (and '/', if `keep_slash`) as %XX in upper case: the encoding
/// that S3 signs.
std::string percent_encode(const std::string& text, bool keep_slash);

}  // namespace titan
