#include "cli/commands.h"
#include "cli/dlq_command.h"
#include "cli/frame.h"
#include "cli/metrics_command.h"
#include "cli/plan_command.h"
#include "cli/stop_signals.h"

int main(int argc, char** argv) {
  tailrace::cli::hold_stop_signals();
  tailrace::cli::Frame frame;
  tailrace::cli::add_mirror_command(frame);
  tailrace::cli::add_init_command(frame);
  tailrace::cli::add_check_command(frame);
  tailrace::cli::add_plan_command(frame);
  tailrace::cli::add_run_command(frame);
  tailrace::cli::add_schema_command(frame);
  tailrace::cli::add_status_command(frame);
  tailrace::cli::add_metrics_command(frame);
  tailrace::cli::add_wait_command(frame);
  tailrace::cli::add_query_command(frame);
  tailrace::cli::add_backup_commands(frame);
  tailrace::cli::add_verify_command(frame);
  tailrace::cli::add_lend_command(frame);
  tailrace::cli::add_snapshot_command(frame);
  tailrace::cli::add_pause_commands(frame);
  tailrace::cli::add_rewind_command(frame);
  tailrace::cli::add_dlq_command(frame);
  tailrace::cli::add_drop_command(frame);
  tailrace::cli::add_demo_command(frame);
  tailrace::cli::add_version_command(frame);
  tailrace::cli::add_docs_command(frame);
  tailrace::cli::add_journal_command(frame);
  tailrace::cli::add_completion_command(frame);
  return frame.run(argc, argv);
}
