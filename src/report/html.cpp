#include "report/html.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <cmath>

#include "base/file.h"
#include "base/hash.h"
#include "report/wording.h"

namespace cupel::html {

std::string escape(std::string_view text, size_t limit) {
  std::string out;
  for (const char c : printable(text, limit)) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  }
  return out;
}

// <bdi> keeps right-to-left marks inside a name from reordering what stands around it.
std::string name(std::string_view text) { return "<bdi>" + escape(text, kNameLimit) + "</bdi>"; }
std::string sentence(std::string_view text) {
  // A number and its percent sign stay on one line.
  std::string out = escape(text, kTextLimit);
  for (size_t at = out.find(" %"); at != std::string::npos; at = out.find(" %", at)) out.replace(at, 1, "&nbsp;");
  return out;
}

std::string number(double value, std::string_view shown) {
  if (!std::isfinite(value)) return sentence(shown);
  return fmt::format("<data value=\"{}\">{}</data>", value, sentence(shown));
}
std::string number(int64_t value, std::string_view shown) {
  return fmt::format("<data value=\"{}\">{}</data>", value, sentence(shown));
}

std::string breakable_name(std::string_view text) {
  std::string out;
  for (const char c : escape(text, kNameLimit)) {
    out += c;
    if (c == '/') out += "<wbr>";
  }
  return "<bdi>" + out + "</bdi>";
}

std::string ratio_text(double sqnr_db) {
  if (std::isinf(sqnr_db)) return sqnr_db > 0 ? "identical" : "no signal";
  return fmt::format("{:.1f}", sqnr_db);
}

std::string_view rank_of_ratio(double sqnr_db) {
  if (!std::isinf(sqnr_db)) return "";
  return sqnr_db > 0 ? " data-rank=\"1e300\"" : " data-rank=\"-1e300\"";
}

std::string script_hash(std::string_view script) {
  const Digest digest = sha256(script);
  std::string out((digest.size() + 2) / 3 * 4 + 1, '\0');  // with the zero that libcrypto writes behind
  out.resize(static_cast<size_t>(
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()), digest.data(), static_cast<int>(digest.size()))));
  return out;
}

}  // namespace cupel::html
