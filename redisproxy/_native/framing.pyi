from redisproxy.resp import ReplyScanner as ReplyScanner
from redisproxy.resp import RequestFramer as RequestFramer
