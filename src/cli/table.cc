#include "cli/table.h"

#include <algorithm>

namespace fusee::cli {

std::string Table::Text(std::string_view indent) const {
  std::vector<size_t> width;
  for (const auto& row : rows_) {
    if (row.size() > width.size()) width.resize(row.size());
    for (size_t c = 0; c < row.size(); ++c) width[c] = std::max(width[c], row[c].size());
  }
  std::string text;
  for (const auto& row : rows_) {
    text += indent;
    for (size_t c = 0; c < row.size(); ++c) {
      if (c > 0) text += "  ";
      const std::string blanks(width[c] - row[c].size(), ' ');
      text += c == 0 || c >= left_from_ ? row[c] + blanks : blanks + row[c];
    }
    text.resize(text.find_last_not_of(' ') + 1);
    text += '\n';
  }
  return text;
}

}  // namespace fusee::cli
