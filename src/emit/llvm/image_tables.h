// The module of an Image that is no kernel: its tables and the functions it exports.
#pragma once

#include "base/file.h"
#include "emit/emit_target.h"
#include "emit/protocol.h"

namespace cupel {

// Defines, for prefix p: the object p_image (a CupelImage, the first of a chain), the functions p_metadata() -> const
// CupelModel*, p_create, p_select, p_run, p_free and p_error (include/cupel/cupel.h). Refers to the kernels, to
// kConstantsSymbol and to cupel_session_*.
Result<Bytes> tables_object(const ImageChain& chain, const EmitTarget& target);

}  // namespace cupel
