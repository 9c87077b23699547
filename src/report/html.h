// Escaping, and the few elements that the page is made of.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace cupel::html {

// Text made safe inside elements and double-quoted attributes: & < > " ' become references. Controls and invalid
// UTF-8 become \xNN, and at most `limit` bytes are kept (printable()).
std::string escape(std::string_view text, size_t limit);
// escape() for names (short) and for sentences (long).
std::string name(std::string_view text);
std::string sentence(std::string_view text);

// <data value="0.9327">93.27 %</data>: the number as the JSON holds it, and as people read it. `shown` is escaped.
// A number that is not finite is shown without the element: the JSON has null there.
std::string number(double value, std::string_view shown);
std::string number(int64_t value, std::string_view shown);

// escape() for a name, which may break after its slashes.
std::string breakable_name(std::string_view text);
// A ratio in decibels, "34.9", "identical", "no signal"; and the attribute of its cell that sorts infinite ones beyond
// every number.
std::string ratio_text(double sqnr_db);
std::string_view rank_of_ratio(double sqnr_db);

// Base64 of the SHA-256 of `script`, as a content security policy names it.
std::string script_hash(std::string_view script);

}  // namespace cupel::html
