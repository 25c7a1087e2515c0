/**
 * `node dist/bundle/handoff-launcher.js --dir DIR`: a daemon like `shoal up`, whose process is killed
 * (SIGKILL, by itself) at the instant in which a handoff reaches the step that `DIR.die-at` names; a
 * step kills once. The daemon is the shipped one; only who observes its steps is of the test.
 */
import { readFileSync, rmSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { terminal } from '../../cli/io.ts'
import { openLog } from '../../cli/log.ts'
import { startDaemon } from '../../node/daemon.ts'

const { dir } = parseArgs({ options: { dir: { type: 'string' } } }).values
if (dir === undefined) throw new Error('usage: --dir DIR')
const file = `${dir}.die-at`

const daemon = await startDaemon({
  dir,
  log: openLog(terminal, 'info'),
  onShutdown: () => process.exit(0),
  observe: step => {
    if (stepToDieAt() !== step) return
    rmSync(file)
    process.kill(process.pid, 'SIGKILL')
  }
})
console.log(JSON.stringify({ ready: true, pid: process.pid, id: daemon.context.self.id }))

function stepToDieAt(): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}
