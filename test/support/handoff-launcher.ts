/**
 * `node dist/test/support/handoff-launcher.js --dir DIR --die-at STEP`: a daemon like `shoal up`,
 * whose process is killed (SIGKILL, by itself) at the instant in which a handoff reaches the step.
 * The daemon is the shipped one; only who observes its steps is of the test.
 */
import { parseArgs } from 'node:util'
import { terminal } from '../../cli/io.ts'
import { openLog } from '../../cli/log.ts'
import { startDaemon } from '../../node/daemon.ts'
import { HANDOFF_STEPS } from '../../protocols/handoff/steps.ts'

const { values } = parseArgs({ options: { dir: { type: 'string' }, 'die-at': { type: 'string' } } })
const { dir, 'die-at': dieAt } = values
const isStep = HANDOFF_STEPS.some(step => step === dieAt)
if (dir === undefined || !isStep) throw new Error('usage: --dir DIR --die-at STEP')

const daemon = await startDaemon({
  dir,
  log: openLog(terminal, 'info'),
  onShutdown: () => process.exit(0),
  observe: step => {
    if (step === dieAt) process.kill(process.pid, 'SIGKILL')
  }
})
console.log(JSON.stringify({ ready: true, pid: process.pid, id: daemon.context.self.id }))
