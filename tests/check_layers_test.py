#!/usr/bin/env python3
"""tools/check_layers passes on this tree, and fails, naming the line, when a forbidden include is added."""
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent


class CheckLayers(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory(prefix="fusee-layers-")
        self.root = pathlib.Path(self.dir.name)
        self.addCleanup(self.dir.cleanup)
        for name in ("src", "include"):
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, self.root / name)
        shutil.copy(ROOT / "ARCHITECTURE.md", self.root)

    def run_check(self):
        done = subprocess.run([sys.executable, ROOT / "tools/check_layers", self.root], capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr

    def write(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def assert_refused(self, path, include, *says):
        self.write(path, f'// probe\n#include "{include}"\n')
        code, output = self.run_check()
        self.assertEqual(code, 1, output)
        for text in (f'{path}:2: #include "{include}"', "remedy:", *says):
            self.assertIn(text, output)

    def assert_allowed(self, path, include):
        self.write(path, f'#include "{include}"\n')
        code, output = self.run_check()
        self.assertEqual(code, 0, output)

    def test_passes_on_this_tree(self):
        code, output = self.run_check()
        self.assertEqual(code, 0, output)

    def test_refuses_a_room_below_using_one_above(self):
        self.assert_refused("src/base/probe.h", "tensor/tensor.h", "'base' may not use 'tensor'")

    def test_refuses_the_runtime_seeing_the_compiler_s_ir(self):
        self.assert_refused("src/runtime/probe.cc", "ir/graph.h", "'runtime' may not use 'ir'", "rule: 'runtime' may use base, device")

    def test_refuses_the_scheduler_seeing_a_device(self):
        self.assert_refused("src/sched/probe.cc", "device/parallel.h")

    def test_refuses_a_kernel_seeing_ir_or_definitions(self):
        self.assert_refused("src/ops/nn/probe_cpu.cc", "ir/graph.h", "'ops kernels' may not use 'ir'")
        self.assert_refused("src/ops/nn/probe_ref.cc", "ops/op_def.h", "'ops kernels' may not use 'ops defs'")

    def test_gives_a_header_to_the_room_that_its_includes_need(self):
        self.write("src/ops/nn/inner.h", '#include "ops/kernel.h"\n')
        self.write("src/ops/nn/outer.h", '#include "ops/nn/inner.h"\n')
        self.assert_allowed("src/ops/nn/probe_cpu.cc", "ops/nn/outer.h")
        self.assert_refused("src/ops/nn/probe_def.cc", "ops/nn/outer.h", "'ops defs' may not use 'ops kernels'")

    def test_refuses_a_header_that_needs_both_definitions_and_kernels(self):
        self.write("src/ops/nn/both.h", '#include "ops/kernel.h"\n#include "ops/op_def.h"\n')
        code, output = self.run_check()
        self.assertEqual(code, 1, output)
        self.assertIn("src/ops/nn/both.h:", output)

    def test_refuses_a_definition_seeing_kernels(self):
        self.assert_refused("src/ops/nn/probe_def.cc", "ops/kernel.h", "'ops defs' may not use 'ops kernels'")

    def test_refuses_the_server_linking_kernels(self):
        self.assert_refused("src/server/probe.cc", "ops/kernel.h")

    def test_refuses_paths_that_are_not_from_the_include_root(self):
        self.assert_refused("src/plan/probe.cc", "plan.h", "not a path from src/")
        self.assert_refused("src/plan/probe.cc", "plan/../ir/graph.h", "not a path from src/")

    def test_refuses_a_file_in_no_room(self):
        self.write("src/attic/probe.cc", "\n")
        code, output = self.run_check()
        self.assertEqual(code, 1, output)
        self.assertIn("src/attic/probe.cc:1: in no room of the table", output)

    def test_allows_a_test_what_any_part_of_its_folder_may_use(self):
        self.assert_allowed("src/ops/nn/probe_test.cc", "ops/op_def.h")
        self.assert_allowed("src/ops/nn/probe_test.cc", "ops/kernel.h")

    def test_allows_the_compiler_ir_and_plan(self):
        self.assert_allowed("src/compiler/probe.cc", "ir/graph.h")
        self.assert_allowed("src/compiler/probe.cc", "plan/plan.h")

    def test_reads_the_table_and_not_a_copy_of_it(self):
        table = self.root / "ARCHITECTURE.md"
        self.write("src/sched/probe.cc", '#include "device/parallel.h"\n')
        table.write_text(table.read_text().replace("base, obs; no sockets", "base, obs, device; no sockets"))
        self.assertEqual(self.run_check()[0], 0)

    def test_says_so_when_there_is_no_table(self):
        (self.root / "ARCHITECTURE.md").write_text("# nothing here\n")
        code, output = self.run_check()
        self.assertEqual(code, 2)
        self.assertIn("no table with the header", output)


if __name__ == "__main__":
    unittest.main()
