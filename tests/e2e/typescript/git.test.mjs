// Git in a sandbox, as the official SDK asks for it, against a real server inside of the sandbox.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { patience, sdk, sharedSandbox } from './ground.mjs'

const port = 8418
const origin = `http://localhost:${port}`
const [name, password] = ['agent', 's3cret-Zq81/x w']
const prepare = `set -e
cd ~/served
export GIT_AUTHOR_NAME=Else GIT_AUTHOR_EMAIL=else@x GIT_COMMITTER_NAME=Else GIT_COMMITTER_EMAIL=else@x
for repository in open private/closed; do
  git init -q --bare -b main $repository.git
  git -C $repository.git config http.receivepack true
  git clone -q $repository.git work 2>/dev/null
  cd work
  for number in 1 2 3; do echo $number > file; git add .; git commit -q -m "commit $number"; done
  git push -q origin HEAD:main
  git push -q origin HEAD~1:refs/heads/older
  cd ..
  rm -rf work
done
`

describe('git', () => {
  const box = sharedSandbox()
  let prepared

  const shell = async (command) => {
    const answer = await (await box()).process.executeCommand(command)
    assert.equal(answer.exitCode, 0, answer.result)
    return answer.result.trim()
  }

  const serve = async () => {
    const sandbox = await box()
    await sandbox.fs.createFolder('served/private', '755')
    const program = readFileSync(new URL('../git_server.py', import.meta.url))
    await sandbox.fs.uploadFile(program, 'git_server.py')
    await sandbox.fs.uploadFile(Buffer.from(`${name}\n${password}\n`), 'served/login')
    await shell(prepare)
    await shell(`setsid -f python3 git_server.py ~/served ${port} >server.log 2>&1`)
    await shell(`for try in $(seq 100); do curl -s -o /dev/null ${origin}/ && exit 0; sleep 0.1; done; exit 1`)
    return sandbox.git
  }

  const served = () => (prepared ??= serve())

  const change = async (git, path, file, text) => {
    await shell(`echo '${text}' > ${path}/${file}`)
    await git.add(path, [file])
    return (await git.commit(path, 'mine', 'Ada', 'ada@example.com')).sha
  }

  test('a repository of ones own', patience, async () => {
    const git = await served()
    await git.init('own', false, 'main')
    const sha = await change(git, 'own', 'a', 'one')
    assert.equal(await shell('git -C own rev-parse HEAD'), sha)
    await shell('echo x > own/new')
    const status = await git.status('own')
    assert.equal(status.currentBranch, 'main')
    const [file] = status.fileStatus
    assert.deepEqual([file.name, file.staging, file.worktree], ['new', 'Untracked', 'Untracked'])
    await git.createBranch('own', 'feature')
    assert.deepEqual((await git.branches('own')).branches.sort(), ['feature', 'main'])
    await change(git, 'own', 'a', 'two')
    await git.checkoutBranch('own', 'main')
    await shell('echo dirty > own/a')
    await assert.rejects(git.checkoutBranch('own', 'feature'), sdk.DaytonaGitDirtyWorktreeError)
    await git.restore('own', ['a'])
    await assert.rejects(git.createBranch('own', 'main'), sdk.DaytonaGitBranchExistsError)
    await git.deleteBranch('own', 'feature')
    await assert.rejects(git.deleteBranch('own', 'feature'), sdk.DaytonaGitBranchNotFoundError)
    await change(git, 'own', 'a', 'three')
    await git.reset('own', 'hard', 'HEAD~1')
    assert.equal(await shell('cat own/a'), 'one')
    await assert.rejects(git.reset('own', 'gentle'), sdk.DaytonaBadRequestError)
    await assert.rejects(git.restore('own', ['no-such-file']), sdk.DaytonaNotFoundError)
    await assert.rejects(git.add('own', ['no-such-file']), sdk.DaytonaNotFoundError)
    await assert.rejects(git.commit('own', 'm', 'A', 'a@x'), sdk.DaytonaConflictError)
    await assert.rejects(git.init('own'), sdk.DaytonaConflictError)
    await assert.rejects(git.status('.'), sdk.DaytonaGitRepoNotFoundError)
  })

  test('settings and remotes', patience, async () => {
    const git = await served()
    await git.init('set')
    await git.configureUser('Grace', 'grace@example.com', 'local', 'set')
    assert.equal(await git.getConfig('user.name', 'local', 'set'), 'Grace')
    await git.setConfig('e2e.word', 'value')
    assert.equal(await git.getConfig('e2e.word'), 'value')
    assert.ok(!(await git.getConfig('e2e.nothing')))
    await assert.rejects(git.setConfig('nonsense', 'value'), sdk.DaytonaBadRequestError)
    await git.remoteAdd('set', 'up', 'https://me:hunter2@git.example/x')
    assert.equal(await git.remoteGet('set', 'up'), 'https://git.example/x')
    assert.equal((await git.remotes('set')).remotes.length, 1)
    await assert.rejects(git.remoteAdd('set', 'up', '/elsewhere'), sdk.DaytonaConflictError)
  })

  test('clone, push and pull of a private repository', patience, async () => {
    const git = await served()
    const url = `${origin}/private/closed.git`
    await assert.rejects(git.clone(url, 'closed'), sdk.DaytonaGitAuthFailedError)
    await assert.rejects(git.clone(url, 'closed', undefined, undefined, name, 'wrong'), sdk.DaytonaGitAuthFailedError)
    await git.clone(url, 'closed', undefined, undefined, name, password)
    assert.equal(await shell(`grep -r '${password}' closed/.git; true`), '')
    await change(git, 'closed', 'mine', 'mine')
    await assert.rejects(git.push('closed'), sdk.DaytonaGitAuthFailedError)
    await git.push('closed', name, password)
    await git.pull('closed', name, password)
    assert.equal((await git.status('closed')).ahead, 0)
    await git.dangerouslyAuthenticate(name, password, `localhost:${port}`, 'http')
    await git.pull('closed')
    await assert.rejects(git.dangerouslyAuthenticate('a\nb', 'x'), sdk.DaytonaBadRequestError)
  })

  test('parts of a repository, and two who push', patience, async () => {
    const git = await served()
    const url = `${origin}/open.git`
    await git.clone(url, 'one', undefined, undefined, undefined, undefined, undefined, 1)
    assert.equal(await shell('git -C one rev-list --count HEAD'), '1')
    await git.clone(url, 'two', 'older')
    assert.equal((await git.status('two')).currentBranch, 'older')
    const commit = await shell('git -C two rev-parse HEAD~1')
    await git.clone(url, 'three', undefined, commit)
    assert.equal((await git.status('three')).detached, true)
    await assert.rejects(git.clone(url, 'none', 'no-such-branch'), sdk.DaytonaGitBranchNotFoundError)
    await assert.rejects(git.clone(`${origin}/none.git`, 'none'), sdk.DaytonaGitRepoNotFoundError)
    await assert.rejects(git.clone('http://localhost:1/x', 'none'), sdk.DaytonaGitTransportFailedError)
    await git.clone(url, 'four')
    await change(git, 'one', 'file', 'from one')
    await git.push('one')
    await change(git, 'four', 'file', 'from four')
    await assert.rejects(git.push('four'), sdk.DaytonaGitPushRejectedError)
    await git.configureUser('Ada', 'ada@example.com')
    await assert.rejects(git.pull('four'), sdk.DaytonaGitMergeConflictError)
  })
})
