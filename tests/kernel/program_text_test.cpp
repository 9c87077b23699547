#include "kernel/program_text.h"

#include <gtest/gtest.h>

#include "kernel/sound_program.h"

namespace cupel {
namespace {

TEST(ProgramText, ParsesBack) {
  Program p = sound_program();
  p.model = "a \"model\"\n";
  p.fixed_batch = 3;
  p.constants[17] = std::byte{9};
  p.steps[6].origins = {"conv 1", "relu\x01"};
  p.steps[5].type = {DType::u8, {Dim(2, "batch"), Dim(20), Dim(6), Dim(5)}, QuantParams{}};
  p.steps[5].type.quant->axis = 1;
  p.steps[5].type.quant->scale.assign(20, 0.5f);
  p.steps[5].type.quant->zero_point.assign(20, 3);
  ConstantStore store;
  const std::string text = print_program(p, &store);
  const auto parsed = parse_program(text, store);
  ASSERT_TRUE(parsed.has_value()) << parsed.error().message() << text;
  EXPECT_EQ(*parsed, p);
  EXPECT_EQ(print_program(*parsed), text);
}

TEST(ProgramText, Empty) {
  const auto parsed = parse_program(print_program(Program()));
  ASSERT_TRUE(parsed.has_value()) << parsed.error().message();
  EXPECT_EQ(*parsed, Program());
}

std::string message_of(std::string text) {
  const auto parsed = parse_program(text);
  return parsed ? "parsed" : parsed.error().place + ": " + parsed.error().cause;
}

TEST(ProgramText, SaysWhereItIsBroken) {
  const std::string head = "program \"m\"\n  fixed_batch 0\n  arena 64\n  constants none\n";
  EXPECT_EQ(message_of(""), "program text:0: found the end of the text, expected program");
  EXPECT_EQ(message_of("program m"), "program text:1: expected '\"'");
  EXPECT_EQ(message_of("program \"m"), "program text:1: a string is not closed");
  EXPECT_EQ(message_of("program \"m\"\nfixed_batch x"), "program text:2: found x, expected an integer of 64 bits");
  EXPECT_EQ(message_of("program \"m\"\nfixed_batch 0\narena 0\nconstants #12\n"),
            "program text:4: constant #12 is not in the side file");
  EXPECT_EQ(message_of(head), "program text:4: found the end of the text, expected end");
  EXPECT_EQ(message_of(head + "input some \"x\" f32[]\nend\n"),
            "program text:5: found some, expected single or batched");
  EXPECT_EQ(message_of(head + "input batched \"x\" f32[\nend\n"),
            "program text:6: before this line: type:1:5: expected a dimension");
  EXPECT_EQ(message_of(head + "buffer nowhere item 0 index 0 offset 0 \"b\"\nend\n"),
            "program text:5: found nowhere, expected input, output, arena, constant or fault");
  EXPECT_EQ(message_of(head + "step \"s\"\nbuffers 0\norigin\nresult buffer 0 type f99\nend\n"),
            "program text:8: found f99, expected an element type");
  EXPECT_EQ(message_of(head + "step \"s\"\nbuffers 0\norigin\nkernel none\nend\n"),
            "program text:8: found none, expected a form");
  EXPECT_EQ(message_of(head + "end\nend\n"), "program text:6: text after the program");
}

}  // namespace
}  // namespace cupel
