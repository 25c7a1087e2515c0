/**
 * `npm test`: unit, property, sim and end-to-end tests in one run of vitest.
 *
 * First says which tests this machine leaves out, by name, with the one line that would install
 * what they need; never installs anything itself. Ends with one plain line for CI:
 * `N passed, N failed, N skipped`. With SHOAL_TEST_ALL=1 a test left out is a failure.
 * `--packages` only lists the Debian packages that all tests together want.
 * Further arguments go to vitest: `npm test -- test/unit`, `npm test -- -t 'title'`.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { everyPackage, isNeed, missing, packagesOf } from '../dist/test/support/process-packages.js'

const root = fileURLToPath(new URL('..', import.meta.url))
const all = process.env.SHOAL_TEST_ALL === '1'

if (process.argv[2] === '--packages') {
  console.log(everyPackage().join('\n'))
  process.exit(0)
}
const leftOut = findLeftOut(join(root, 'test'))
announce(leftOut)
if (all && leftOut.length > 0) process.exit(1)
const scratch = mkdtempSync(join(tmpdir(), 'shoal-run-'))
const report = join(scratch, 'report.json')
const code = await runVitest(report)
const count = readCount(report)
rmSync(scratch, { recursive: true })
console.log(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`)
process.exitCode = code !== 0 ? code : all && count.skipped > 0 ? 1 : 0

/** Tests whose `needs('tool', ...)('title', ...)` this machine cannot meet. */
function findLeftOut(directory) {
  const call = /\bneeds\(\s*([^)]*?)\s*\)\(\s*(['"`])((?:\\.|(?!\2)[^\\])*)\2/g
  const found = []
  for (const name of readdirSync(directory, { recursive: true }).sort()) {
    if (!name.endsWith('.test.ts')) continue
    for (const [, tools, , title] of readFileSync(join(directory, name), 'utf8').matchAll(call)) {
      const absent = missing(
        [...tools.matchAll(/'([^']+)'/g)].map(match => match[1]).filter(isNeed)
      )
      if (absent.length > 0) found.push({ file: `test/${name}`, title, absent })
    }
  }
  return found
}

function announce(tests) {
  if (tests.length === 0) return
  console.log(`Left out on this machine (${tests.length}):`)
  for (const { file, title, absent } of tests) {
    console.log(`  ${file}: ${title} (no ${absent.join(', ')})`)
  }
  const absent = tests.flatMap(test => test.absent)
  const packages = packagesOf(absent)
  if (packages.length > 0) console.log(`To run them: apt-get install -y ${packages.join(' ')}`)
  if (absent.includes('root')) console.log('Those that need root mount file systems: run as root.')
}

function runVitest(outputFile) {
  const vitest = join(root, 'node_modules/vitest/vitest.mjs')
  const args = [
    vitest,
    'run',
    '--config=test/vitest.config.ts',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${outputFile}`,
    ...process.argv.slice(2)
  ]
  return new Promise(resolve => {
    const child = spawn(process.execPath, args, { cwd: root, stdio: 'inherit' })
    for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal))
    child.on('exit', exitCode => resolve(exitCode ?? 1))
  })
}

/** Counts from vitest's JSON report; a file that failed to load counts as one failure. */
function readCount(file) {
  try {
    const report = JSON.parse(readFileSync(file, 'utf8'))
    const broken = report.testResults.filter(
      result => result.status === 'failed' && result.assertionResults.length === 0
    ).length
    return {
      passed: report.numPassedTests,
      failed: report.numFailedTests + broken,
      skipped: report.numPendingTests + report.numTodoTests
    }
  } catch {
    return { passed: 0, failed: 1, skipped: 0 }
  }
}
