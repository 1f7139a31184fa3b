import { visibleLine } from "./message-text.ts";

/**
 * Every sentence of the page, in each language it speaks. A language that lacks a sentence does not compile.
 */
const english = {
  tagline: "Rooms as replicated logs. What is stored keeps its place.",
  yourName: "Your name",
  token: "Token",
  tokenHelp: "This server asks for a token. Paste the one you were given.",
  tokenEnded:
    "Your token has run out, or is not accepted any more. Paste a new one: you stay where you are, and nothing you wrote is lost.",
  goOn: "Go on",
  enter: "Enter",
  nameRefused: 'This name cannot be used: no spaces, and none of / \\ , @ # ! : * ? % " < > &',
  ended: "This session has ended",
  again: "Start again",
  signOut: "Sign out",
  signOutWaiting: (count: number) =>
    count === 1
      ? "1 message still waits. It is kept on this device until you come back as the same user. Sign out?"
      : `${count} messages still wait. They are kept on this device until you come back as the same user. Sign out?`,
  language: "中文",
  languageLabel: "Switch to Chinese",
  rooms: "Rooms",
  direct: "Direct messages",
  openList: "Rooms and people",
  closeList: "Close the list",
  joinRoom: "Join or create a room",
  joinButton: "Join",
  leave: "Leave",
  leaveAsk: (room: string) => `Leave #${room}? Its messages stay where they are.`,
  startDirect: "Write to somebody",
  startButton: "Write",
  noDirect: "Nobody yet",
  unread: (count: number) => `${count} unread`,
  notMember: "You are not a member of this room.",
  absentRoom: "There is no room of this name, or it is not for you.",
  createRoom: "Create it",
  emptyRoom: "No messages yet.",
  emptyDirect: "No messages yet. The first one makes this conversation.",
  loading: "Loading…",
  loadingOlder: "Loading earlier messages…",
  loadFailed: "The messages could not be loaded",
  tryAgain: "Try again",
  roomStart: "The beginning of this room",
  hereNow: "Here now",
  hereCount: (count: number) => `${count} here now`,
  hereUnknown: "Not known while there is no connection",
  typing: (names: string) => `${names} is typing…`,
  typingMany: (names: string) => `${names} are typing…`,
  online: (node: string) => `Online via ${node}`,
  starting: "Starting…",
  connecting: "Connecting…",
  offline: "No connection.",
  reconnectIn: (seconds: number) => `Next try in ${seconds} s.`,
  reconnectNow: "Trying now.",
  tryNow: "Try now",
  waiting: (count: number) =>
    count === 1
      ? "1 message waits in the outbox and will be sent."
      : `${count} messages wait in the outbox and will be sent in order.`,
  waitsBecause: (reason: string) => `The server stores nothing new of yours right now: ${reason}.`,
  waits: {
    storage_full: "The server's disk is full: it stores nothing new until there is space again.",
    no_quorum: "Too few of the servers answer: nothing new can be stored until enough do.",
    overloaded: "The server has more to do than it can: it takes what waits as soon as it is able to.",
    rate_limited:
      "More is said than the server takes at once, by you or in this room: it takes the rest a little later.",
    unavailable: "The server can store nothing right now: it may be stopping, or starting.",
    behind: "The server has not caught up with the others yet.",
    copies: "Fewer servers than wanted have stored it so far.",
    order: "The server does not know an earlier message of yours yet: that one goes first.",
  } as Readonly<Record<string, string>>,
  messageTo: (room: string) => `Message ${room}`,
  send: "Send",
  sendHint: "Enter sends, Shift+Enter starts a line",
  editing: (seq: number) => `Editing #${seq}`,
  cancel: "Cancel",
  stateSaving: "not kept on this device yet",
  stateQueued: "waiting",
  waitsFor: (reason: string) => `waiting: ${reason}`,
  stateSending: "sending",
  stateStored: "stored",
  stateRefused: "not sent",
  stateUnknown: "not known whether it is stored",
  askAgain: "Ask again",
  asking: "asking…",
  askedAbsent: (head: number) => `not stored up to #${head}`,
  askedFailed: "the question failed",
  giveUp: "Give up",
  retry: "Retry",
  dismiss: "Remove",
  editedMark: "edited",
  deletedMark: "deleted",
  deletedBy: (name: string) => `deleted by ${name}`,
  mayHaveChanged: "later changes may be missing here",
  edit: "Edit",
  remove: "Delete",
  removeAsk: (seq: number) => `Delete #${seq} for everybody?`,
  react: "React with 👍",
  reacted: (symbol: string, names: string) => `${symbol}: ${names}`,
  changeEdit: "edit",
  changeDelete: "deletion",
  changeReact: "reaction",
  readBy: (names: string) => `read by ${names}`,
  newBelow: (count: number) => (count === 1 ? "1 new message" : `${count} new messages`),
  toNewest: "To the newest",
  gapRetention: (count: number) =>
    count === 1 ? "1 message was removed by retention" : `${count} messages were removed by retention`,
  gapDeleted: (count: number) =>
    count === 1 ? "1 message went when the room was deleted" : `${count} messages went when the room was deleted`,
  gapDamaged: (count: number) =>
    count === 1
      ? "1 message is damaged on this server and cannot be given; another one may have it"
      : `${count} messages are damaged on this server and cannot be given; another one may have them`,
  gapRemoved: (count: number) =>
    count === 1
      ? "1 message cannot be read: you are no member of this room any more"
      : `${count} messages cannot be read: you are no member of this room any more`,
  gapOther: (count: number, reason: string) =>
    count === 1 ? `1 message cannot be given: ${reason}` : `${count} messages cannot be given: ${reason}`,
  gapNotKept: (count: number) =>
    count === 1
      ? "1 message was removed and is not kept any more"
      : `${count} messages were removed and are not kept any more`,
  reset: "The history of this room was replaced. What stood here before may have changed.",
  failed: {
    aborted: "given up, and not stored",
    bad_request: "the server cannot make sense of it",
    behind: "the server has not caught up yet",
    copies: "too few servers have stored it",
    forbidden: "you may not do this here",
    gone: "what it refers to was removed",
    id_conflict: "its id was used for something else",
    no_quorum: "too few servers answer",
    not_found: "there is no such room or person",
    order: "an earlier message goes first",
    overloaded: "too much waits already",
    rate_limited: "too many messages at once",
    storage_full: "there is no space left to keep it",
    too_large: "it is too long",
    unauthorized: "the name or token is not accepted",
    unavailable: "the server cannot tell right now",
    replaced: "another page took over this session",
    closed: "it was closed",
  } as Readonly<Record<string, string>>,
};

export type Texts = typeof english;

const chinese: Texts = {
  tagline: "房间即复制日志：存下的消息，位置不变。",
  yourName: "你的名字",
  token: "令牌",
  tokenHelp: "此服务器需要令牌，请粘贴你得到的令牌。",
  tokenEnded: "令牌已过期或不再被接受。请粘贴新的令牌：你会留在原处，写下的内容不会丢失。",
  goOn: "继续",
  enter: "进入",
  nameRefused: '不能使用这个名字：不可含空格或 / \\ , @ # ! : * ? % " < > &',
  ended: "会话已结束",
  again: "重新开始",
  signOut: "退出",
  signOutWaiting: (count) => `还有 ${count} 条消息在等待。它们会保存在此设备上，直到你以同一用户回来。要退出吗？`,
  language: "EN",
  languageLabel: "切换到英文",
  rooms: "房间",
  direct: "私信",
  openList: "房间与联系人",
  closeList: "关闭列表",
  joinRoom: "加入或创建房间",
  joinButton: "加入",
  leave: "离开",
  leaveAsk: (room) => `离开 #${room}？其中的消息会保留。`,
  startDirect: "给某人写信",
  startButton: "写信",
  noDirect: "暂无",
  unread: (count) => `${count} 条未读`,
  notMember: "你不是此房间的成员。",
  absentRoom: "没有这个房间，或者你不能查看。",
  createRoom: "创建",
  emptyRoom: "还没有消息。",
  emptyDirect: "还没有消息。发出第一条即开始对话。",
  loading: "加载中…",
  loadingOlder: "正在加载更早的消息…",
  loadFailed: "消息加载失败",
  tryAgain: "再试一次",
  roomStart: "房间的开头",
  hereNow: "在场",
  hereCount: (count) => `${count} 人在场`,
  hereUnknown: "没有连接，无法得知",
  typing: (names) => `${names} 正在输入…`,
  typingMany: (names) => `${names} 正在输入…`,
  online: (node) => `已连接 ${node}`,
  starting: "启动中…",
  connecting: "正在连接…",
  offline: "没有连接。",
  reconnectIn: (seconds) => `${seconds} 秒后重试。`,
  reconnectNow: "正在重试。",
  tryNow: "立即重试",
  waiting: (count) => `发件箱中有 ${count} 条消息等待，将按顺序发送。`,
  waitsBecause: (reason) => `服务器暂时不存储你的新消息：${reason}。`,
  waits: {
    storage_full: "服务器磁盘已满：腾出空间之前，不会存储新消息。",
    no_quorum: "应答的服务器不足：恢复之前，无法存储新消息。",
    overloaded: "服务器负载过高：一有余力就会接收等待的消息。",
    rate_limited: "你或此房间的消息太快，超过服务器一次所能接收的：其余的稍后接收。",
    unavailable: "服务器暂时无法存储：可能正在停止或启动。",
    behind: "服务器尚未跟上其他服务器。",
    copies: "已存储的服务器少于所需的数量。",
    order: "服务器还没有你之前的一条消息：那一条先发送。",
  },
  messageTo: (room) => `发消息到 ${room}`,
  send: "发送",
  sendHint: "回车发送，Shift+回车换行",
  editing: (seq) => `正在编辑 #${seq}`,
  cancel: "取消",
  stateSaving: "尚未保存到此设备",
  stateQueued: "等待中",
  waitsFor: (reason) => `等待中：${reason}`,
  stateSending: "发送中",
  stateStored: "已存储",
  stateRefused: "未发送",
  stateUnknown: "不确定是否已存储",
  askAgain: "再问一次",
  asking: "询问中…",
  askedAbsent: (head) => `到 #${head} 为止未存储`,
  askedFailed: "询问失败",
  giveUp: "放弃",
  retry: "重试",
  dismiss: "移除",
  editedMark: "已编辑",
  deletedMark: "已删除",
  deletedBy: (name) => `被 ${name} 删除`,
  mayHaveChanged: "此处可能缺少后来的更改",
  edit: "编辑",
  remove: "删除",
  removeAsk: (seq) => `为所有人删除 #${seq}？`,
  react: "回应 👍",
  reacted: (symbol, names) => `${symbol}：${names}`,
  changeEdit: "编辑",
  changeDelete: "删除",
  changeReact: "回应",
  readBy: (names) => `${names} 已读`,
  newBelow: (count) => `${count} 条新消息`,
  toNewest: "到最新",
  gapRetention: (count) => `${count} 条消息已按保留期限移除`,
  gapDeleted: (count) => `房间被删除，${count} 条消息随之删除`,
  gapDamaged: (count) => `${count} 条消息在此服务器上已损坏，无法提供；其他服务器可能有`,
  gapRemoved: (count) => `你已不是此房间的成员，${count} 条消息无法查看`,
  gapOther: (count, reason) => `${count} 条消息无法提供：${reason}`,
  gapNotKept: (count) => `${count} 条消息已移除，不再保留`,
  reset: "此房间的历史已被替换，之前看到的内容可能已变。",
  failed: {
    aborted: "已放弃，未存储",
    bad_request: "服务器无法理解",
    behind: "服务器尚未跟上",
    copies: "存储的服务器太少",
    forbidden: "你无权这样做",
    gone: "所指的消息已移除",
    id_conflict: "消息编号已被占用",
    no_quorum: "应答的服务器不足",
    not_found: "没有这个房间或用户",
    order: "之前的一条消息先发送",
    overloaded: "等待的消息太多",
    rate_limited: "发送太快",
    storage_full: "没有存储空间了",
    too_large: "消息太长",
    unauthorized: "名字或令牌不被接受",
    unavailable: "服务器暂时无法答复",
    replaced: "另一个页面接管了会话",
    closed: "已关闭",
  },
};

export type Language = "en" | "zh";

/**
 * Why something failed, by the code that a server gave. One that is not known here is shown as it is: a server may be newer
 * than its page, and codes are its words, `constructor` too.
 */
export const failureOf = (texts: Texts, code: string): string =>
  Object.hasOwn(texts.failed, code) ? texts.failed[code]! : visibleLine(code);

/** What a server says that keeps messages waiting, as a whole sentence. */
export const waitOf = (texts: Texts, code: string): string =>
  Object.hasOwn(texts.waits, code) ? texts.waits[code]! : texts.waitsBecause(failureOf(texts, code));

export const textsOf = (language: Language): Texts => (language === "zh" ? chinese : english);

/** What the browser's reader would like best. */
export function preferredLanguage(wanted: readonly string[]): Language {
  for (const tag of wanted) {
    if (/^zh\b/i.test(tag)) return "zh";
    if (/^en\b/i.test(tag)) return "en";
  }
  return "en";
}
