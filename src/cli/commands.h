#pragma once

#include "cli/frame.h"

/// One function per command, each in <name>_command.cc; main.cc calls them all.
namespace tailrace::cli {

void add_check_command(Frame& frame);
void add_completion_command(Frame& frame);
void add_demo_command(Frame& frame);
void add_docs_command(Frame& frame);
void add_drop_command(Frame& frame);
void add_init_command(Frame& frame);
void add_journal_command(Frame& frame);
void add_backup_commands(Frame& frame);
void add_lend_command(Frame& frame);
void add_mirror_command(Frame& frame);
void add_pause_commands(Frame& frame);
void add_query_command(Frame& frame);
void add_rewind_command(Frame& frame);
void add_run_command(Frame& frame);
void add_schema_command(Frame& frame);
void add_snapshot_command(Frame& frame);
void add_status_command(Frame& frame);
void add_verify_command(Frame& frame);
void add_version_command(Frame& frame);
void add_wait_command(Frame& frame);

}  // namespace tailrace::cli
