#include "model/tuple.h"

namespace tailrace {

TupleView measure_tuple(ByteReader& in) {
  const char* from = in.at();
  const std::size_t columns = in.be16();
  for (std::size_t i = 0; i < columns; ++i) {
    switch (static_cast<FieldKind>(in.u8())) {
      case FieldKind::kNull:
      case FieldKind::kUnchanged: break;
      case FieldKind::kText:
      case FieldKind::kBinary: in.skip(in.be32()); break;
      default: throw OutOfBytes();
    }
  }
  return TupleView(ByteView(from, static_cast<std::size_t>(in.at() - from)));
}

}  // namespace tailrace
