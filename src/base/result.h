// Results and errors. Functions that can fail return Result<T>; no exception crosses a Cupel function.
#pragma once

#include <expected>
#include <string>
#include <utility>

namespace cupel {

// Whose mistake it is. Each kind has one exit code of the command line (docs/architecture.md 4).
enum class ErrorKind {
  usage,        // the command line or an output place is wrong: exit 2
  bad_input,    // a file or its content is wrong: exit 3
  unsupported,  // valid, but Cupel cannot do it: exit 4
  internal,     // a defect of Cupel: exit 5
  resource,     // a limit was reached (memory, time, disk, size cap): exit 6
};

// What callers decide on where the kind does not tell. Texts are for people: no code looks into them.
enum class ErrorCode {
  none,
  no_such_file,
  out_of_memory,         // of the machine or of --max-memory
  reference_runs_it,     // has no compiled form; the remedy names --engine reference
  computed_at_run_time,  // a size or a parameter follows from data
};

// place: file, node or flag, as the user knows it. cause: what was found and what was expected.
// remedy: what to do about it; empty only for internal errors.
struct Error {
  ErrorKind kind;
  std::string place;
  std::string cause;
  std::string remedy;
  ErrorCode code = ErrorCode::none;
  std::string node = {};  // the name of the node that it is about; empty when it is about none

  // "place: cause\n  remedy" (the last line only when there is a remedy).
  std::string message() const {
    std::string text = place.empty() ? cause : place + ": " + cause;
    if (!remedy.empty()) text += "\n  " + remedy;
    return text;
  }
  int exit_code() const { return 2 + static_cast<int>(kind); }

  // The same error seen from an enclosing place ("model.onnx: node conv1").
  Error within(const std::string& outer) && {
    place = place.empty() ? outer : outer + ": " + place;
    return std::move(*this);
  }
  // The same error, about the node of that name, whose place encloses it.
  Error at_node(std::string name, const std::string& node_place) && {
    node = std::move(name);
    return std::move(*this).within(node_place);
  }
};

template <class T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

inline std::unexpected<Error> fail(ErrorKind kind, std::string place, std::string cause, std::string remedy = {},
                                   ErrorCode code = ErrorCode::none) {
  return std::unexpected(Error{kind, std::move(place), std::move(cause), std::move(remedy), code});
}
inline std::unexpected<Error> bad_input(std::string place, std::string cause, std::string remedy) {
  return fail(ErrorKind::bad_input, std::move(place), std::move(cause), std::move(remedy));
}
inline std::unexpected<Error> unsupported(std::string place, std::string cause, std::string remedy) {
  return fail(ErrorKind::unsupported, std::move(place), std::move(cause), std::move(remedy));
}
inline std::unexpected<Error> usage_error(std::string place, std::string cause, std::string remedy) {
  return fail(ErrorKind::usage, std::move(place), std::move(cause), std::move(remedy));
}
inline std::unexpected<Error> resource_error(std::string place, std::string cause, std::string remedy) {
  return fail(ErrorKind::resource, std::move(place), std::move(cause), std::move(remedy));
}
inline std::unexpected<Error> no_such_file(std::string place) {
  return fail(ErrorKind::bad_input, std::move(place), "no such file", "check the path", ErrorCode::no_such_file);
}
inline std::unexpected<Error> out_of_memory(std::string place, std::string cause, std::string remedy) {
  return fail(ErrorKind::resource, std::move(place), std::move(cause), std::move(remedy), ErrorCode::out_of_memory);
}
// Of a node of which an operand's values decide the shape of the result, or what is computed, and are no constants. The
// caller names the node.
inline std::unexpected<Error> computed_at_run_time(std::string cause, std::string remedy) {
  return fail(ErrorKind::unsupported, {}, std::move(cause), std::move(remedy), ErrorCode::computed_at_run_time);
}
// The reference interpreter runs what the error is about.
inline std::unexpected<Error> not_compiled(std::string place, std::string cause) {
  return fail(ErrorKind::unsupported, std::move(place), std::move(cause), "run the model with --engine reference",
              ErrorCode::reference_runs_it);
}
inline std::unexpected<Error> internal_error(std::string place, std::string cause) {
  return fail(ErrorKind::internal, std::move(place), std::move(cause),
              "this is a defect of Cupel; please report it with the model");
}

}  // namespace cupel

// The value of a Result, or an early return of its error from the enclosing function:
//   auto graph = CUPEL_TRY(read_onnx(path));      CUPEL_TRY(verify(graph));
#define CUPEL_TRY(...) CUPEL_TRY_UNIQUE_(__COUNTER__, __VA_ARGS__)
#define CUPEL_TRY_UNIQUE_(id, ...) CUPEL_TRY_NAMED_(id, __VA_ARGS__)
#define CUPEL_TRY_NAMED_(id, ...)                                                         \
  __extension__({                                                                         \
    auto cupel_result_##id = (__VA_ARGS__);                                               \
    if (!cupel_result_##id) return std::unexpected(std::move(cupel_result_##id).error()); \
    ::cupel::detail::unwrap(std::move(cupel_result_##id));                                \
  })

namespace cupel::detail {
template <class T>
T unwrap(std::expected<T, Error>&& result) {
  return std::move(*result);
}
inline void unwrap(std::expected<void, Error>&&) {}
}  // namespace cupel::detail
