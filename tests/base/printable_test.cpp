#include <gtest/gtest.h>

#include "base/file.h"

namespace cupel {
namespace {

using std::string_literals::operator""s;

TEST(Printable, LeavesTextAlone) {
  EXPECT_EQ(printable(""), "");
  EXPECT_EQ(printable("/layer1/conv.0:weight \"q\" <b>"), "/layer1/conv.0:weight \"q\" <b>");
  EXPECT_EQ(printable("größe 名前 😀"), "größe 名前 😀");
  EXPECT_EQ(printable("\u07ff\u0800\uffff\U0010ffff"), "\u07ff\u0800\uffff\U0010ffff");
}

TEST(Printable, EscapesControls) {
  EXPECT_EQ(printable("a\nb\t\x1b[31mc\x7f"), "a\\x0ab\\x09\\x1b[31mc\\x7f");
  EXPECT_EQ(printable("a\0b"s), "a\\x00b");
  EXPECT_EQ(printable("\xc2\x9b"), "\\xc2\\x9b");  // a C1 control: CSI
  EXPECT_EQ(printable("\xc2\xa0"), "\xc2\xa0");
}

TEST(Printable, EscapesInvalidUtf8) {
  EXPECT_EQ(printable("\x80"), "\\x80");
  EXPECT_EQ(printable("\xc0\xaf"), "\\xc0\\xaf");           // overlong
  EXPECT_EQ(printable("\xe0\x9f\xbf"), "\\xe0\\x9f\\xbf");  // overlong
  EXPECT_EQ(printable("\xf0\x8f\xbf\xbf"), "\\xf0\\x8f\\xbf\\xbf");
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");           // a surrogate
  EXPECT_EQ(printable("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");  // beyond U+10FFFF
  EXPECT_EQ(printable("\xf5\x80\x80\x80"), "\\xf5\\x80\\x80\\x80");
  EXPECT_EQ(printable("\xff"), "\\xff");
  EXPECT_EQ(printable("ab\xe2\x82"), "ab\\xe2\\x82");  // cut off
  EXPECT_EQ(printable("\xe2(\xa1"), "\\xe2(\\xa1");
}

TEST(Printable, CutsLongNames) {
  EXPECT_EQ(printable(std::string(200, 'a')), std::string(200, 'a'));
  EXPECT_EQ(printable(std::string(201, 'a')), std::string(200, 'a') + "…");
  EXPECT_EQ(printable(std::string(1 << 20, '\n'), 8), "\\x0a\\x0a…");
}

}  // namespace
}  // namespace cupel
