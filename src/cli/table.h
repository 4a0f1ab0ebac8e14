// Text in columns: the first column left, all others right aligned.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fusee::cli {

class Table {
 public:
  // heading: one text per column.
  explicit Table(std::vector<std::string> heading) { rows_.push_back(std::move(heading)); }
  // Columns from this one on are left aligned again (text that closes a row). Default: only the
  // first is.
  Table& LeftFrom(size_t column) {
    left_from_ = column;
    return *this;
  }
  void Row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  // One line a row, two blanks between columns, no blanks at the end of a line.
  std::string Text(std::string_view indent = "") const;

 private:
  std::vector<std::vector<std::string>> rows_;
  size_t left_from_ = static_cast<size_t>(-1);
};

}  // namespace fusee::cli
