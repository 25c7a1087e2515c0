#!/usr/bin/env node
import { VERSION } from '../node/version.ts'
/** The `shoal` command. */
import { terminal } from './io.ts'
import { runCommand } from './program.ts'

const EXIT_LIMIT_MS = 500

// A reader that went away (`shoal status | head -1`) is no failure of ours.
process.stdout.on('error', error => {
  if ('code' in error && error.code === 'EPIPE') process.exit(0)
  throw error
})

process.exitCode = await runCommand(terminal, process.argv.slice(2), VERSION)
// A command that is over must end, whatever it left open (the pipe of a parent, a socket).
setTimeout(() => process.exit(), EXIT_LIMIT_MS).unref()
