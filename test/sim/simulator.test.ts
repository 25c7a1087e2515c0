// Goal: the shipped mesh loses nothing, serves nothing stale, gives space back and converges, under
// everything that the simulator can do to it.
// Method: the compiled runner as a process of its own, over many seeds. A failing seed prints how
// to replay it.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const SEEDS = 1000
const TIMEOUT_MS = 1_800_000
const MAIN = fileURLToPath(new URL('../../dist/test/sim/main.js', import.meta.url))

function run(args: readonly string[]): Promise<{ code: number | null; output: string }> {
  return new Promise(resolve => {
    const child = spawn(process.execPath, [MAIN, ...args])
    let output = ''
    const take = (bytes: Buffer) => {
      output += bytes.toString()
    }
    child.stdout.on('data', take)
    child.stderr.on('data', take)
    child.on('close', code => resolve({ code, output }))
  })
}

describe('the simulated mesh', () => {
  it(
    `holds what it promises over ${SEEDS} seeds, with a crash at every step`,
    async () => {
      const { code, output } = await run(['--seeds', `${SEEDS}`, '--from', '1', '--every-step'])
      console.log(output)
      expect(output).toContain(`${SEEDS} seeds:`)
      expect(code).toBe(0)
    },
    TIMEOUT_MS
  )

  it('does the same again for the same seed, to the last byte of its trace', async () => {
    const once = await run(['--seed', '4', '--trace'])
    const again = await run(['--seed', '4', '--trace'])
    const withoutTime = (output: string) => output.replaceAll(/"cpuMs": \d+/g, '')
    expect(once.output.split('\n').length).toBeGreaterThan(500)
    expect(withoutTime(again.output)).toBe(withoutTime(once.output))
  })
})
